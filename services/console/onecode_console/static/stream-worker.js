// One event stream for all tabs of a browser: six connections are all a browser gives an origin,
// and a stream in each tab would take them up. Tabs say what they want to hear of; the union is asked for.
const NAMES = ["reset", "dataset_version_committed", "run_progress", "run_finished", "model_version_ready",
  "alias_changed", "policy_published", "rollout_changed", "audit_recorded"];
const SILENT_MS = 180_000;
const tabs = new Map();
let source = null;
let asked = null;
let last = "";
let timer = 0;

function tell(message) {
  for (const port of tabs.keys()) port.postMessage(message);
}

function union() {
  const topics = new Set();
  for (const tab of tabs.values()) for (const topic of tab.topics) topics.add(topic);
  return [...topics].sort().join(",");
}

function open() {
  const topics = union();
  if (!topics) { source?.close(); source = null; asked = null; return; }
  if (source && source.readyState !== EventSource.CLOSED && topics === asked) return;
  source?.close();
  asked = topics;
  const after = last ? `&after=${last}` : "";
  source = new EventSource(`/api/v1/events?topics=${encodeURIComponent(topics)}${after}`);
  source.onopen = () => tell({ name: "open" });
  source.onerror = () => {
    tell({ name: "closed" });
    if (source?.readyState === EventSource.CLOSED) later(3000);
  };
  for (const name of NAMES) source.addEventListener(name, (event) => {
    last = event.lastEventId || last;
    tell({ name, data: JSON.parse(event.data) });
  });
}

function later(ms) {
  clearTimeout(timer);
  timer = setTimeout(open, ms);
}

function sweep() {
  const now = Date.now();
  for (const [port, tab] of tabs) if (now - tab.seen > SILENT_MS) tabs.delete(port);
  later(200);
}

self.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = (message) => {
    if (message.data.bye) tabs.delete(port);
    else tabs.set(port, { topics: message.data.topics, seen: Date.now() });
    later(200);
  };
  port.start();
};
setInterval(sweep, 60_000);
