"""The flow of a comparison under the name that deployments of earlier versions have: ``flows.compare.compare``."""

from flows.experiment import flow_of

compare = flow_of("compare")
