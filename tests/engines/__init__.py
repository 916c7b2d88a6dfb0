"""The engine: pure decisions in tables, everything else with a real agent and real replica processes."""
