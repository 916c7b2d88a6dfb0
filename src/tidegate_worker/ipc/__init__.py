"""The bytes between gateways and a replica.

Read `wire` (the frames, and what they mean), `gateway_connection` (one connection, which never blocks), `busy_poll`
(when to poll rather than sleep), then `refusal` (the error that becomes an answer). Gateways import `wire` and
`busy_poll` too.

Nothing here knows models.
"""
