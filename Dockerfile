# syntax=docker/dockerfile:1
# One image with the four services; a deployment chooses by its command. Pin both bases by digest in a release:
#   docker build --build-arg RUST_IMAGE=docker.io/library/rust:1.95-bookworm@sha256:… --build-arg RUNTIME_IMAGE=…@sha256:… .
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY . .
# The caches stay on the building machine; the programs leave them by `cp`.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked \
      --package outeract-connection --package outeract-messaging --package outeract-tracking --package outeract-webhook --bins \
    && mkdir /programs \
    && cp target/release/outeract-connection target/release/outeract-messaging \
          target/release/outeract-tracking target/release/outeract-webhook /programs/

# glibc, libgcc, CA certificates and nothing else: no shell, no package manager.
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Outeract WhatsApp" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /programs/ /usr/local/bin/
USER 65532:65532
# Where every service listens is configuration; these are the ports of k8s/base.
EXPOSE 7010 7011 7012 7020 7021 7022 7030 7031 7032 7033 7040 7041 7042
# No ENTRYPOINT: the command names the service, as in `docker run … outeract-whatsapp /usr/local/bin/outeract-messaging`.
CMD ["/usr/local/bin/outeract-connection", "config", "check"]
