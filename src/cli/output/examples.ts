import type { Command } from 'commander';

/**
 * Command lines that work as they are, by verb (with its parent: `identity anchor`). They are the end of each
 * help text and in docs/reference/cli.md; every verb needs one.
 */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  install: [
    'linkspan install --context east | kubectl apply --context east -f -',
    'linkspan install --context east --ha --apply',
    'linkspan install --context west --cluster-name west --anchors east.cluster.local=east.crt --allow-trust-domain east.cluster.local --apply',
    'linkspan install --context west --identity-trust-anchors-file ca.crt --identity-issuer-certificate-file issuer.crt --identity-issuer-key-file issuer.key --apply',
  ],
  upgrade: [
    'linkspan upgrade --context east --apply',
    'linkspan upgrade --context east --set gateway.serviceType=NodePort | kubectl diff --context east -f -',
  ],
  uninstall: [
    'linkspan uninstall --context east | kubectl delete --context east -f -',
    'linkspan uninstall --context east --crds --apply',
  ],
  controller: ['linkspan controller --context east --data-path relay --admin 127.0.0.1:9999'],
  signer: ['linkspan signer --context east --issuer-dir /var/run/linkspan/issuer --admin 127.0.0.1:9998'],
  gateway: ['linkspan gateway --identity dir --identity-dir /var/run/linkspan --targets targets.json'],
  egress: ['linkspan egress --identity dir --identity-dir /var/run/linkspan --context east'],
  'link-gen': [
    'linkspan link-gen --context west --cluster-name west | kubectl apply --context east -f -',
    'linkspan link-gen --context west --cluster-name west --gateway-addresses 192.0.2.7 --gateway-port 30143 --token-ttl 24h',
  ],
  link: [
    'linkspan link --context west --cluster-name west --source-context east',
    'linkspan link --context west --cluster-name west --source-context east --mutual --source-cluster-name east',
  ],
  unlink: [
    'linkspan unlink --context east --cluster-name west | kubectl delete --context east -f -',
    'linkspan unlink --context east --cluster-name west --apply',
  ],
  allow: [
    'linkspan allow --context west --service-account-name east-reader | kubectl apply --context west -f -',
    'linkspan allow --context west --service-account-name east-reader --token-ttl 24h --apply',
  ],
  export: [
    'linkspan export --context west -n shop web api',
    'linkspan export --context west -n shop web --mode federated',
  ],
  unexport: ['linkspan unexport --context west -n shop web'],
  check: [
    'linkspan check --pre --context west',
    'linkspan check --context east',
    'linkspan check --context east -o short --wait 0s',
  ],
  gateways: [
    'linkspan gateways --context east',
    'linkspan gateways --context east --cluster-name west -o wide',
  ],
  links: ['linkspan links --context east', 'linkspan links --context east -o wide'],
  mirrors: ['linkspan mirrors --context east', 'linkspan mirrors --context east -n shop --link west -o json'],
  stat: [
    'linkspan stat --context east',
    'linkspan stat mirror --context east --context west -o wide',
    'linkspan stat link gateway --context east -w',
    'linkspan stat svc/web -n shop --context west --failing --exit-code -o json',
  ],
  edges: ['linkspan edges --context east --context west', 'linkspan edges -n shop -o wide --context west'],
  top: [
    'linkspan top --context east --context west',
    'linkspan top --for 10s --limit 20 --context east | cat',
  ],
  dashboard: [
    'linkspan dashboard --context east --context west',
    'linkspan dashboard --context east --port 0 --no-open',
    'linkspan dashboard --context east --prometheus monitoring/prometheus:9090',
  ],
  routes: [
    'linkspan routes svc/web -n shop --context west',
    'linkspan routes mirror/web-west --context east -o wide',
  ],
  proxies: [
    'linkspan proxies --context east --context west',
    'linkspan proxies --failing --exit-code -o json',
  ],
  tap: [
    'linkspan tap svc/web -n shop --context west',
    'linkspan tap mirror/web-west -n shop --context east --failures --for 1m',
    'linkspan tap link/west --context east --context west --min-latency 500ms -o wide',
    "linkspan tap -n shop --context east --limit 10 -o jsonpath='{.method} {.path} {.status}'",
  ],
  failover: [
    'linkspan failover --context east -n shop',
    'linkspan failover --context east -o json',
    'linkspan failover plan --context east --without west',
  ],
  'drain cluster': [
    'linkspan drain cluster west --context east --ramp 5m --until 2h --reason "new nodes" --wait',
    'linkspan drain cluster west --context east --service shop/web --to 50% --dry-run',
    'linkspan drain cluster west --context east --service shop/checkout --ramp 1m',
  ],
  'drain gateway': ['linkspan drain gateway --context west --ramp 5m --reason "new nodes"'],
  'undrain gateway': ['linkspan undrain gateway --context west'],
  'undrain cluster': ['linkspan undrain cluster west --context east'],
  'drill cluster': [
    'linkspan drill cluster west --context east --kind drain --for 5m --abort-on "errors>1%,p99>2x"',
    'linkspan drill cluster west --context east --kind fail --for 1m -o json',
  ],
  explain: [
    'linkspan explain svc web -n shop --context east',
    'linkspan explain link west --context east',
    'linkspan explain reason MissingNamespace',
    'linkspan explain error KUBE_FORBIDDEN',
  ],
  'identity anchor': ['linkspan identity anchor --cluster west --out anchor'],
  'identity issuer': ['linkspan identity issuer --anchor anchor --cluster west --out issuer'],
  'identity leaf': [
    'linkspan identity leaf --issuer issuer --out leaf --service-account linkerd-gateway --namespace linkerd-multicluster',
  ],
  'identity import': [
    'linkspan identity import --pkcs12 company-ca.p12 --out issuer',
    'linkspan identity import --cert ca.pem --key ca.key --password-file password --out anchor',
  ],
  'identity show': ['linkspan identity show anchor/ca.crt'],
  completion: [
    'source <(linkspan completion bash)',
    'linkspan completion zsh > "${fpath[1]}/_linkspan"',
    'linkspan completion fish > ~/.config/fish/completions/linkspan.fish',
    'linkspan completion kubectl > ~/.local/bin/kubectl_complete-linkspan && chmod +x ~/.local/bin/kubectl_complete-linkspan',
  ],
  version: ['linkspan version --client --short', 'linkspan version --context east -o json'],
};

/** Puts its examples, and those of the verbs below it, at the end of a verb's help. */
export function withExamples(command: Command, above = ''): Command {
  const name = `${above}${command.name()}`;
  const examples = EXAMPLES[name] ?? [];
  if (examples.length > 0)
    command.addHelpText(
      'after',
      `\nExample${examples.length === 1 ? '' : 's'}:\n${examples.map((line) => `  ${line}`).join('\n')}`,
    );
  for (const below of command.commands) withExamples(below, `${name} `);
  return command;
}
