"""The same as bare-rows in FastAPI, SQLAlchemy and asyncpg: stores a row for each request."""

import os
from datetime import datetime, timezone

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=5, max_overflow=0)
insert = text(
    "INSERT INTO migration_runs (started_at, duration_ms, release, version_before, version_after)"
    " VALUES (:at, 0, :release, 0, 1) RETURNING id"
)
app = FastAPI()


class New(BaseModel):
    release: str


@app.post("/rows", status_code=201)
async def rows(new: New):
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        stored = await connection.execute(insert, {"at": datetime.now(timezone.utc), "release": new.release})
        return {"id": stored.scalar_one()}


@app.post("/transactions", status_code=201)
async def transactions(new: New):
    async with engine.begin() as connection:
        stored = await connection.execute(insert, {"at": datetime.now(timezone.utc), "release": new.release})
        return {"id": stored.scalar_one()}
