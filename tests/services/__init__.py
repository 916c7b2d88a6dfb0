"""Real servers and a real browser for tests: where their programs come from, and how each is started and ended.

Here lives what several test folders start: Redis, PostgreSQL, Chromium, nginx, Prometheus. What speaks to them on
Tidegate's behalf is tested elsewhere.
"""
