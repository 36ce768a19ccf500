import time, subprocess
from onecode.training.v1 import training_pb2 as pb
R="task: tabular-classification\ntarget: diagnosis\nsearch: {preset: standard}"
def rss(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1])*4//1024
def test_m(platform, readings):
    pid=platform.processes["training"].pid
    print("\nRSS idle MB", rss(pid))
    v=platform.commit("cancer", readings, target="diagnosis")
    platform.begin("r_stop", v, R, "x")
    platform.wait("r_stop", lambda r: r.stage=="search" and any(t.state=="running" for t in r.trials))
    print("run procs", len(platform.driver("r_stop")), "sum RSS", sum(rss(p) for p in platform.driver("r_stop")))
    t=time.time(); platform.training.StopRun(pb.StopRunRequest(project="default",run_id="r_stop"))
    platform.wait("r_stop", lambda r: r.state==pb.RUN_STATE_STOPPED); print("stop seconds", time.time()-t, platform.driver("r_stop"))
    t=time.time(); platform.begin("r_full", v, R.replace("standard","quick"), "x")
    r=platform.wait("r_full", lambda r: r.HasField("finished")); print("full quick seconds", time.time()-t, r.state, r.error)
    print("lineage", r.model_digest)
    from onecode.registry.v1 import registry_pb2 as g
    m=platform.registry.GetVersion(g.GetVersionRequest(project="default",model="x",release=1)).version; print(m.lineage, m.parity[:300], dict(m.metrics))
    print("RSS after", rss(pid)); print(platform.log("training")[-800:])
