/** Helm's command line, as Helm reads it. */
import t from 'tap';
import { readHelmCommand } from '../../../src/cli/run/helm-command.ts';

const read = (line: string, env: Record<string, string> = {}) =>
  readHelmCommand(line.split(' ').filter(Boolean), env);

t.test('which release, where', async (t) => {
  const table: [line: string, releases: string[], namespace?: string][] = [
    ['upgrade api ./chart', ['api']],
    ['upgrade --install api ./chart -n prod', ['api'], 'prod'],
    ['-n prod upgrade -i api ./chart', ['api'], 'prod'],
    ['upgrade -in prod api ./chart', ['api'], 'prod'],
    ['upgrade -nprod api ./chart', ['api'], 'prod'],
    ['upgrade -n=prod api ./chart', ['api'], 'prod'],
    ['upgrade --namespace=prod api ./chart', ['api'], 'prod'],
    ['upgrade -n other api ./chart --namespace prod', ['api'], 'prod'],
    ['upgrade -f values.yaml --set a=b --timeout 5m --wait api ./chart', ['api']],
    ['upgrade --atomic --debug --wait=legacy api ./chart --version 1.2.3', ['api']],
    ['upgrade --dry-run=none api ./chart', ['api']],
    ['upgrade --kube-as-user bob api ./chart', ['api']],
    ['install api ./chart', ['api']],
    ['install -- api ./chart', ['api']],
    ['install ./chart --generate-name', []],
    ['install ./chart -g', []],
    ['rollback api 3', ['api']],
    ['rollback api', ['api']],
    ['uninstall api web', ['api', 'web']],
    ['un api', ['api']],
    ['upgrade', []],
    ['upgrade api ./chart -n', ['api']],
  ];
  for (const [line, releases, namespace] of table) {
    t.match(read(line), { kind: 'deploy', releases, driver: 'secrets', namespace }, line);
  }
  t.match(read('upgrade api .', { HELM_NAMESPACE: 'env' }), { namespace: 'env' });
  t.match(read('upgrade api . -n prod', { HELM_NAMESPACE: 'env' }), { namespace: 'prod' });
  t.match(read('upgrade api .', { HELM_DRIVER: 'configmap' }), { driver: 'configmaps' });
});

t.test('what takes no lock', async (t) => {
  const table: [line: string, why: string, env?: Record<string, string>][] = [
    ['', 'helm takes no lock'],
    ['list -A', 'helm list takes no lock'],
    ['test api', 'helm test takes no lock'],
    ['upgrade api . --dry-run', '--dry-run takes no lock'],
    ['upgrade api . --dry-run=server', '--dry-run takes no lock'],
    ['upgrade --help', '--help deploys nothing'],
    ['upgrade -h', '--help deploys nothing'],
    ['upgrade api .', 'HELM_DRIVER=sql keeps no records in the cluster', { HELM_DRIVER: 'sql' }],
  ];
  for (const [line, why, env] of table) t.same(read(line, env), { kind: 'other', why }, line);
});

t.test('which cluster, and the line without it', async (t) => {
  t.match(
    read(
      'upgrade api . --kubeconfig f --kube-context=c --kube-apiserver https://a --kube-token t --kube-ca-file ca --kube-tls-server-name n --kube-insecure-skip-tls-verify -n prod',
    ),
    {
      choice: {
        kubeconfig: 'f',
        context: 'c',
        cluster: { server: 'https://a', caFile: 'ca', tlsServerName: 'n', skipTLSVerify: true },
        user: { token: 't' },
      },
      withoutCluster: ['upgrade', 'api', '.', '-n', 'prod'],
    },
  );
  t.match(
    read('rollback api --kube-insecure-skip-tls-verify=false', {
      KUBECONFIG: 'a:b',
      HELM_KUBECONTEXT: 'c',
      HELM_KUBETOKEN: 't',
      HELM_KUBEINSECURE_SKIP_TLS_VERIFY: 'true',
    }),
    { choice: { kubeconfig: undefined, context: 'c', cluster: {}, user: { token: 't' } } },
  );
  t.match(read('rollback api', { HELM_KUBEINSECURE_SKIP_TLS_VERIFY: 'true' }), {
    choice: { cluster: { skipTLSVerify: true } },
  });
  t.match(read('upgrade -i api . -f=v --kube-as-user bob --set a=b'), {
    withoutCluster: ['upgrade', '-i', 'api', '.', '-f', 'v', '--kube-as-user', 'bob', '--set', 'a=b'],
  });
});
