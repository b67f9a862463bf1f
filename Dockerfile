# One image for each function: docker build --build-arg FUNCTION=health-db -t health-db .
# Base images are pinned by tag, not by digest. Renew the tags when new versions come out.

FROM rust:1.95-slim-bookworm AS sources
WORKDIR /src
COPY . .

# Only the manifests: dependencies stay cached until a manifest changes.
FROM sources AS manifests
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock \
        ! -path '*/src/main.rs' ! -path '*/src/lib.rs' ! -path '*/src/bin/*' -delete \
    && find . -name '*.rs' -exec truncate -s 0 {} +

FROM rust:1.95-slim-bookworm AS fetch
WORKDIR /src
COPY --from=manifests /src .
RUN cargo fetch --locked

# Builds every function in one stage that all images share. From here on, no step uses the network.
FROM fetch AS build
ENV CARGO_NET_OFFLINE=true
COPY . .
RUN .ci/release

FROM scratch
ARG FUNCTION
COPY --from=build /src/target/release-static/${FUNCTION} /function
USER 65532:65532
ENTRYPOINT ["/function"]
