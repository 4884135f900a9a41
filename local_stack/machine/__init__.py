"""What the machine gives the stack: Java, ports, memory and processes. May import errors and project. Never a part by its name."""
