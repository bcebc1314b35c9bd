"""Steps, plans, running them and auditing a store against them: the only description of an experiment's work."""

from modeldiff_core.plan.audit import Finding, Survey, repair, survey, verify
from modeldiff_core.plan.checkpoint import Checkpoint
from modeldiff_core.plan.failures import RecordedFailure, read_failure
from modeldiff_core.plan.listing import Listing
from modeldiff_core.plan.perform import perform
from modeldiff_core.plan.plan import Known, Plan, later, state_of
from modeldiff_core.plan.products import Array, Bundle, Files, Foreign, OneObject, Product, Record, Tensors
from modeldiff_core.plan.progress import Bar, NoProgress, Progress, Tally
from modeldiff_core.plan.reference import Reference, refer
from modeldiff_core.plan.run import InProcess, Outcome, RunFailed, Submit, run
from modeldiff_core.plan.step import Cost, Label, Step, Wave

__all__ = [
    "Array",
    "Bar",
    "Bundle",
    "Checkpoint",
    "Cost",
    "Files",
    "Finding",
    "Foreign",
    "InProcess",
    "Known",
    "Label",
    "Listing",
    "NoProgress",
    "OneObject",
    "Outcome",
    "Plan",
    "Product",
    "Progress",
    "Record",
    "RecordedFailure",
    "Reference",
    "RunFailed",
    "Step",
    "Submit",
    "Survey",
    "Tally",
    "Tensors",
    "Wave",
    "later",
    "perform",
    "read_failure",
    "refer",
    "repair",
    "run",
    "state_of",
    "survey",
    "verify",
]
