"""The verbs over endpoints."""
