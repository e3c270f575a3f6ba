# docker build -t linkspan:dev .   (buildah bud works the same)
# By digest: a tag is whatever its owner says today. To move it: `docker buildx imagetools inspect node:26-slim`, both lines below.
FROM node:26.10.0-slim@sha256:ec7758ee051e457b468b32bde57b0879010b325bb9862718e9615225ce4aaae1 AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY scripts/build.ts scripts/trim-image.ts scripts/
# The base image has Node 26 itself, so the package that brings one to checkouts is left out. The SBOM lists what is in.
RUN node scripts/build.ts && npm prune --omit=dev --omit=optional --ignore-scripts \
  && npm pkg delete devDependencies optionalDependencies scripts && rm package-lock.json \
  && npm sbom --sbom-format cyclonedx > sbom.cdx.json && node scripts/trim-image.ts .

FROM node:26.10.0-slim@sha256:ec7758ee051e457b468b32bde57b0879010b325bb9862718e9615225ce4aaae1
WORKDIR /app
# One malloc arena: a process with a few busy threads otherwise keeps 10 to 20 MB in arenas that it hardly uses.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY LICENSE ./
COPY --from=build /app/package.json /app/sbom.cdx.json ./
COPY bin bin
# `linkspan install` from the image renders them.
COPY charts charts
USER 2103:2103
ENTRYPOINT ["node", "bin/linkspan.js"]
