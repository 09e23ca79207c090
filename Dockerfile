# The image of Lockkeeper: `docker build -t lockkeeper .`, and in CI
#   docker build --label org.opencontainers.image.revision=$(git rev-parse HEAD) -t registry.example.com/lockkeeper:0.1.0 .
# `npm run image:rehearse` reads this file, does its steps in a scratch folder, and knows no other instruction than these.
#
# The tags follow the fixes of Node 24 and Debian 13. Who wants the same bytes each time pins them by digest, here and in the
# chart (image.digest): `docker buildx imagetools inspect node:24-trixie-slim` tells it, and then
#   FROM node:24-trixie-slim@sha256:…

FROM node:24-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY deploy/trim-client.ts deploy/
RUN npm run build

FROM node:24-trixie-slim AS production
WORKDIR /production
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts
# Typings and source maps are more than 40 % of it, and Node reads neither.
RUN find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

# Node, the C and C++ libraries, the certificates of the public authorities, and no shell.
FROM gcr.io/distroless/nodejs24-debian13:nonroot
WORKDIR /app
COPY --from=production /production/package.json ./
COPY --from=production /production/node_modules node_modules
COPY --from=build /build/dist dist
ENV NODE_ENV=production
LABEL org.opencontainers.image.title="lockkeeper" \
      org.opencontainers.image.description="One Helm deploy at a time, for every release in a Kubernetes cluster" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/nodejs24-debian13:nonroot"
# Reviews, REST, /livez and /readyz over HTTPS; metrics and the same probes over HTTP.
EXPOSE 8443 9090
# As a number, or Kubernetes could not tell that it is not root. Everything above is root's: there is nothing that it can write.
USER 65532:65532
# Kubernetes heeds no HEALTHCHECK, and the chart has probes. Each check of Docker's would start a Node of its own.
#
# `args: [dist/self-test.js]` runs the self-test in a pod. There are no flags, because V8 suits its heap to the memory limit.
ENTRYPOINT ["/nodejs/bin/node"]
CMD ["dist/main.js"]
