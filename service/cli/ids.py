"""Ids on the command line: numbers that a database can hold."""

from typing import Annotated

import typer

MOST_ID = 2**63 - 1

CampaignId = Annotated[int, typer.Argument(metavar="ID", min=1, max=MOST_ID, help="The campaign's id.")]
CustomerId = Annotated[int, typer.Argument(metavar="ID", min=1, max=MOST_ID, help="The customer's id here.")]
