"""The verbs over endpoints that the REST API calls, and what they return."""
