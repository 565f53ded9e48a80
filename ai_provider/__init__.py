"""What turns the gateway into features people touch. Importing this package does nothing."""
