"""What is provisioned: one stack, put together from small modules that have one idea each."""
