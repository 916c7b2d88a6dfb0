"""The two older products (classic model serving, and inference endpoints of registered models) as decisions.

Here a registered model is enabled, and its endpoints follow from its versions and stages.
"""
