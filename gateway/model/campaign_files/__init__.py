"""Campaign files: from YAML to a ruleset, every mistake with its line and column, and the JSON Schema for editors.

May import decisions, rulesets, conditions, visitors, events, times and tokens. Never a file or a network: it reads a string. Nothing
else in the project reads YAML.
"""
