# One image with every program of Sluice; the command says which one runs.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /sluice
COPY . .
# The folders in the cache mounts are gone after this step, so the programs are copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/sluice/target \
    cargo build --release --locked --bins \
        --package sluice-directory --package sluice-ingest --package sluice-writer --package sluice-loadgen \
    && mkdir /programs \
    && cp target/release/directory target/release/ingest target/release/writer target/release/loadgen /programs/

FROM debian:bookworm-slim
# curl is for the health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/sluice --create-home sluice
COPY --from=build /programs/ /usr/local/bin/
USER sluice
WORKDIR /var/lib/sluice
# A service stops cleanly on SIGTERM: what it has begun is finished first.
STOPSIGNAL SIGTERM
CMD ["ingest", "--listen", "0.0.0.0:8080"]
