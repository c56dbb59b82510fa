"""`report.html`: one self-contained file that shows what a run learned."""

from anyclip.evaluation.report.page import write_report

__all__ = ["write_report"]
