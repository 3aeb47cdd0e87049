"""What ties the logger to frameworks and to other loggers."""
