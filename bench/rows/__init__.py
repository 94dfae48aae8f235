"""What is measured: each row is a function that takes a subject and sizes, and returns its metrics."""
