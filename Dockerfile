# The images of the two services, and of the outside world that `docker compose up` puts beside them. A
# target each, for example:
#
#   docker build --target records-service --build-arg VERSION=1.2.3 --build-arg REVISION="$(git rev-parse HEAD)" .
#
# Targets: records-service, auth-frontend, and dev-stack, which is never deployed.

# Everything is compiled in a stage before our sources are there, so that an edit costs only what was
# edited. Layers rather than cache mounts: a CI that keeps its layers in a registry keeps these too. The
# packages are empty for now, because Cargo asks for all of a workspace.
FROM rust:1.95-slim-bookworm AS packages
# For the size of the images, and here because they depend on this compiler and this C library: relocations
# in their short form, which takes glibc 2.36; less inlining than usual, 2 MB less for at most a few percent
# of a page's CPU time; and no AES-GCM for AVX-512, 0.7 MB of code that is faster than the other kinds at
# volumes which these services do not have.
ENV RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs -C llvm-args=--inline-threshold=50" \
    CFLAGS="-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX"
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY auth-frontend/Cargo.toml auth-frontend/
COPY dev-stack/Cargo.toml dev-stack/
COPY proto/Cargo.toml proto/
COPY records-service/Cargo.toml records-service/
COPY service-kit/Cargo.toml service-kit/
RUN for library in proto service-kit; do mkdir "$library/src" && touch "$library/src/lib.rs"; done \
 && for program in auth-frontend dev-stack records-service; do \
      mkdir "$program/src" && echo 'fn main() {}' > "$program/src/main.rs"; done \
 && echo 'fn main() {}' > proto/build.rs \
 && cargo fetch --locked

# Both services are named even where one is built: Cargo unites the features of dependencies over the
# packages it is told of, and what is compiled here has to suit either. What became of the empty packages
# is removed, for Cargo goes by times and the real sources may be older.
FROM packages AS service-dependencies
RUN cargo build --release --frozen -p auth-frontend -p records-service \
 && cargo clean --release --frozen -p auth-frontend -p records-proto -p records-service -p service-kit

FROM service-dependencies AS build-records-service
COPY proto proto
COPY service-kit service-kit
COPY records-service records-service
# As late as can be: whatever follows is made anew for every revision.
ARG REVISION=unknown
RUN cargo build --release --frozen -p auth-frontend -p records-service --bin records-service

FROM service-dependencies AS build-auth-frontend
COPY proto proto
COPY service-kit service-kit
COPY auth-frontend auth-frontend
ARG REVISION=unknown
RUN cargo build --release --frozen -p auth-frontend -p records-service --bin auth-frontend

FROM packages AS build-dev-stack
# It is never deployed: better built soon than small.
ENV CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
RUN cargo build --release --frozen -p dev-stack \
 && cargo clean --release --frozen -p dev-stack -p records-proto
COPY proto proto
COPY dev-stack dev-stack
RUN cargo build --release --frozen -p dev-stack \
 && mkdir /empty

# glibc, libgcc, certificates and the user `nonroot`; no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Org Records" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# By number, because Kubernetes cannot tell from a name that it is not root.
USER 65532:65532

FROM runtime AS records-service
COPY --from=build-records-service /src/target/release/records-service /usr/local/bin/
EXPOSE 50051 9091 9092
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["records-service", "healthcheck"]
ENTRYPOINT ["records-service"]
CMD ["serve"]

FROM runtime AS auth-frontend
COPY --from=build-auth-frontend /src/target/release/auth-frontend /usr/local/bin/
EXPOSE 3000 9090
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["auth-frontend", "healthcheck"]
ENTRYPOINT ["auth-frontend"]

FROM runtime AS dev-stack
COPY --from=build-dev-stack /src/target/release/dev-stack /usr/local/bin/
# A new volume takes its owner from the folder it is mounted on.
COPY --from=build-dev-stack --chown=65532:65532 /empty /var/lib/dev-stack
COPY --from=build-dev-stack --chown=65532:65532 /empty /var/lib/dev-stack/secrets
ENV DEV_STACK_BIND=0.0.0.0 \
    DEV_STACK_DATA=/var/lib/dev-stack
EXPOSE 4000 8000 9324
HEALTHCHECK --interval=5s --timeout=10s --start-period=10s CMD ["dev-stack", "healthcheck"]
ENTRYPOINT ["dev-stack"]
CMD ["emulators"]
