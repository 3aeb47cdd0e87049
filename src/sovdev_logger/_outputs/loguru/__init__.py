"""Terminal and file by Loguru."""
