"""What the stack needs of the machine: Java, ports, memory and processes. May import errors and project. Never a part by its name."""
