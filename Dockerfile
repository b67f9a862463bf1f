# One image a function: docker build --build-arg FUNCTION=health-db -t health-db .
# Tags, not digests, pin the base image: renew them with what they should name.

FROM rust:1.95-slim-bookworm AS sources
WORKDIR /src
COPY . .

# The manifests alone: what is fetched stays cached until they change.
FROM sources AS manifests
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock \
        ! -path '*/src/main.rs' ! -path '*/src/lib.rs' ! -path '*/src/bin/*' -delete \
    && find . -name '*.rs' -exec truncate -s 0 {} +

FROM rust:1.95-slim-bookworm AS fetch
WORKDIR /src
COPY --from=manifests /src .
RUN cargo fetch --locked

# Every function, in one stage that all images share. From here on, nothing comes from the network.
FROM fetch AS build
ENV CARGO_NET_OFFLINE=true
COPY . .
RUN .ci/release

FROM scratch
ARG FUNCTION
COPY --from=build /src/target/release-static/${FUNCTION} /function
USER 65532:65532
ENTRYPOINT ["/function"]
