"""The two values that control and the gateways exchange.

Control sends a `route_table` to the gateways. Each gateway sends a `load_report` to control.
"""
