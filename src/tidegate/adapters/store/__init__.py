"""The store: endpoints, revisions, switches and events in SQL, with the migrations of their tables."""
