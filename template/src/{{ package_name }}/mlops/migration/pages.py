"""MLflow's searches, page by page: what is far more than fits into memory goes by one by one."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mlflow.store.entities import PagedList

Found = TypeVar("Found")


_PAGE = 100


def pages(search: "Callable[..., PagedList[Found]]", *args: Any, **kwargs: Any) -> Iterator[Found]:
    """Yield what a search finds, one page after the other.

    Args:
        search: a method of MLflow's client with `max_results` and `page_token`.
        args: its other arguments.
        kwargs: those by name.
    """
    token = None
    while True:
        page = search(*args, max_results=_PAGE, page_token=token, **kwargs)
        yield from page
        token = page.token
        if not token:
            return


def chunks(items: Iterable[Found], size: int) -> Iterator[list[Found]]:
    """Gather items into lists of at most this size."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
