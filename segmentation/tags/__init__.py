"""Tags: labels that people carry, put on and taken off by people, links, rules, measures, groups and preferences."""
