# A static pagerelay, CA roots and nothing else, run as user 65532.
# The build stage runs internal/lab/image/build.sh, which the tests run too.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION REVISION
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH internal/lab/image/build.sh /rootfs

FROM scratch
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title="pagerelay" \
      org.opencontainers.image.description="A sidecar from Prometheus Alertmanager to PagerDuty" \
      org.opencontainers.image.source="https://github.com/pagerelay/pagerelay" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /rootfs/bin/ /bin/
COPY --from=build /rootfs/etc/ /etc/
COPY --from=build --chown=65532:65532 /rootfs/var/lib/pagerelay/ /var/lib/pagerelay/
USER 65532:65532
WORKDIR /var/lib/pagerelay
EXPOSE 9095
VOLUME ["/var/lib/pagerelay"]
ENTRYPOINT ["/bin/pagerelay"]
CMD ["serve", "--config.file=/etc/pagerelay/pagerelay.yml", "--storage.path=/var/lib/pagerelay"]
