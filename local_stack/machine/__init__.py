"""What the machine gives the stack: Java, ports, memory and processes. Knows no part by name. Imports errors and project only."""
