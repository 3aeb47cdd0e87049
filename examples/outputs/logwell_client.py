"""Logwell without a service: the client alone, from a program with an event loop.

python examples/outputs/logwell_client.py
"""

import asyncio

import small_logwell

from sovdev_logger.logwell import Logwell, LogwellError


def report(error: LogwellError) -> None:
    """Say what did not work."""
    print(f"{error.code}: {error}")


async def main() -> None:
    """Log a few records, one of them as a child with metadata of its own."""
    async with Logwell(
        api_key=small_logwell.KEY,
        endpoint=small_logwell.start(),
        service="orders",
        on_error=report,
    ) as logwell:
        logwell.info("order placed", {"order_id": 17})
        request = logwell.child(metadata={"request_id": "r-1"})
        request.warn("stock is low", {"item": "chair"})
        await logwell.flush()
        print(f"{logwell.queue_size} records wait")


if __name__ == "__main__":
    asyncio.run(main())
