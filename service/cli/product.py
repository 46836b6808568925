"""`retarget product`: labels for products, proposed from their words and decided by a person."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from segmentation.labelling import ProposedLabel, decide, label_counts, renew_proposals, waiting
from service.brand_words import tokenize_for_brand
from service.cli.context import opened_database, print_json, settings_for_command
from store.clock import system_clock
from store.engine import reading
from store.errors import BadInput

app = typer.Typer(
    help="Labels for products: proposed from their words, approved by a person.",
    no_args_is_help=True,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
LabelArgument = Annotated[str, typer.Argument(help="The label, as it was proposed.")]
SkusArgument = Annotated[list[str] | None, typer.Argument(help="Products, by SKU.")]
ActorOption = Annotated[str, typer.Option("--by", help="Who decides, for the audit log.")]
_EXAMPLES = 3
_SOURCES = {"word": "名稱或說明 its words", "similar": "相似商品 similar products", "term": "新詞 a new term"}


@app.command("propose-labels")
def propose_labels(as_json: AsJson = False) -> None:
    """Propose labels for all products from their names and descriptions. Nothing is labelled until it is approved;
    what was rejected is not proposed again."""
    with opened_database(settings_for_command()) as engine:
        with reading(engine) as session:
            tokenize = tokenize_for_brand(session)
        changes = renew_proposals(engine, tokenize, system_clock)
    if as_json:
        print_json(asdict(changes))
        return
    typer.echo(
        f"{changes.products:,} products read: {changes.added:,} proposals added, {changes.changed:,} changed,"
        f" {changes.withdrawn:,} withdrawn; see `retarget product proposals`"
    )


@app.command("proposals")
def proposals(
    label: Annotated[str | None, typer.Option(help="Show every product that this label is proposed for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the proposed labels that wait for a decision, the surest first, and the words that speak for them."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        found = waiting(session, label)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    _show(found, examples=None if label else _EXAMPLES)


@app.command("approve")
def approve(
    label: LabelArgument,
    skus: SkusArgument = None,
    everywhere: Annotated[bool, typer.Option("--all", help="For all products that it waits for.")] = False,
    actor: ActorOption = "command line",
    as_json: AsJson = False,
) -> None:
    """Approve a proposed label: the products carry it from now on, and their buyers are computed anew."""
    _decide(label, skus, everywhere=everywhere, approve=True, actor=actor, as_json=as_json)


@app.command("reject")
def reject(
    label: LabelArgument,
    skus: SkusArgument = None,
    everywhere: Annotated[bool, typer.Option("--all", help="For all products that it waits for.")] = False,
    actor: ActorOption = "command line",
    as_json: AsJson = False,
) -> None:
    """Reject a proposed label for good, or take back one that was approved."""
    _decide(label, skus, everywhere=everywhere, approve=False, actor=actor, as_json=as_json)


@app.command("labels")
def labels(as_json: AsJson = False) -> None:
    """Show the labels that products carry, and how many do."""
    with opened_database(settings_for_command()) as engine, reading(engine) as session:
        counts = label_counts(session)
    if as_json:
        print_json(counts)
        return
    table = Table(title="商品標籤 Product labels")
    table.add_column("標籤 label")
    table.add_column("商品數 products", justify="right")
    for label, count in counts.items():
        table.add_row(label, f"{count:,}")
    Console().print(table)


def _decide(label: str, skus: list[str] | None, *, everywhere: bool, approve: bool, actor: str, as_json: bool) -> None:
    if everywhere == bool(skus):
        raise BadInput("name the products by SKU, or say --all")
    with opened_database(settings_for_command()) as engine:
        decided = decide(engine, label, None if everywhere else skus, approve=approve, clock=system_clock, actor=actor)
    if as_json:
        print_json({"label": label, "state": "approved" if approve else "rejected", "skus": decided})
        return
    typer.echo(f"{label}: {'approved' if approve else 'rejected'} for {len(decided):,} products")


def _show(found: list[ProposedLabel], examples: int | None) -> None:
    table = Table(title="待確認的標籤 Labels waiting for a decision")
    for heading in ("標籤 label", "把握 score", "商品數 products", "依據 because of", "商品 for"):
        table.add_column(heading, justify="right" if heading.endswith(("score", "products")) else "left")
    for one in found:
        words = dict.fromkeys(word for product in one.products for word in product.words)
        source = _SOURCES[one.products[0].source]
        shown = one.products[:examples]
        names = "\n".join(f"{product.sku} {product.name}" for product in shown)
        more = len(one.products) - len(shown)
        because = f"{source}: {'、'.join(list(words)[:_EXAMPLES])}"
        table.add_row(
            one.label, f"{one.score:.2f}", f"{len(one.products):,}", because, names + (f"\n… {more:,}" if more else "")
        )
    Console().print(table)
