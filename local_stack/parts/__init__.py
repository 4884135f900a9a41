"""The parts of the stack: one table, and what Kafka and Valkey need beyond it. Says how a part is run; starts and stops nothing."""
