"""What the tests stand on: a model of AWS, virtual time, an execution without Step Functions."""
