"""What the interpreter does to a logger: signals, forks, threads, exits."""
