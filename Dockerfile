# syntax=docker/dockerfile:1
# The one binary, for every role. Both stages are Debian 12, so that the C library is the same.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin signalbox && \
    cp target/release/signalbox /signalbox

FROM debian:12-slim
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /signalbox /usr/local/bin/signalbox
# Compose starts it as the owner of the key files instead.
USER 1000:1000
EXPOSE 8080 9464
# By bash alone: an image without curl is smaller and has less to misuse.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["signalbox"]
CMD ["--help"]
