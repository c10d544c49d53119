"""What is provisioned, held against the template, against AWS's rules and against the functions."""
