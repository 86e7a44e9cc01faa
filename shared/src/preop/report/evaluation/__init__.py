"""The page of an evaluation, and its charts in the form in which the platform shows them."""

from preop.report.evaluation.charts import charts_of
from preop.report.evaluation.page import evaluation_page

__all__ = ["charts_of", "evaluation_page"]
