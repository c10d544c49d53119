"""The deployer: a functional core that decides, a thin shell that asks AWS and acts."""
