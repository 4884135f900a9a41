"""The ruleset in force: followed in Kafka, copied to Redis, seeded from a file."""
