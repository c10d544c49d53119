"""What is decided: pure functions of values. No AWS, clock, environment or log, and the standard library only."""
