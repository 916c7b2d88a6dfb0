"""The two older products: classic model serving, and Serverless Real-Time Inference of registered models.

A user enables a registered model (`enablement`), and its endpoints follow from its versions and stages
(`enabled_endpoints`). `enablement_status` and `serving_history` compute what the older products show.
"""
