// What a program over Node's Kubernetes client does: list, watch, follow a log,
// exec. Says one JSON line for each. KUBECONFIG says where.
import * as k8s from '@kubernetes/client-node';
import { Writable } from 'node:stream';

const say = (what) => console.log(JSON.stringify(what));
const config = new k8s.KubeConfig();
config.loadFromDefault();
const api = config.makeApiClient(k8s.CoreV1Api);

const pods = await api.listNamespacedPod({ namespace: 'default' });
say({ pods: pods.items.map((pod) => pod.metadata.name) });

await new Promise((done, fail) => {
  let watch;
  new k8s.Watch(config)
    .watch('/api/v1/namespaces/default/pods', { resourceVersion: '1' },
      (type, pod) => {
        if (type === 'MODIFIED') {
          say({ modified: pod.metadata.name });
          watch.abort();
          done();
        }
      },
      (err) => (err && err.name !== 'AbortError' ? fail(err) : done()))
    .then((controller) => { watch = controller; say({ watching: true }); })
    .catch(fail);
});

const into = (what, done) => {
  let text = '';
  return new Writable({
    write(chunk, _, next) { text += chunk; next(); },
    final(next) { say({ [what]: text }); next(); done?.(); },
  });
};

await new Promise((done, fail) => {
  new k8s.Log(config).log('default', 'demo', '', into('log', done),
    { tailLines: 2 }).catch(fail);
});

await new Promise((done, fail) => {
  const out = into('exec');
  new k8s.Exec(config).exec('default', 'demo', '', ['echo', 'hello'], out,
    null, null, false, (status) => {
      out.end();
      say({ status: status.status });
      done();
    }).catch(fail);
});
