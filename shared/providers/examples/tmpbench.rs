use signalbox_providers::*;
use std::time::*;
use tokio::io::*;
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/thread-self/stat").unwrap(); let v: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect(); (v[11].parse::<f64>().unwrap()+v[12].parse::<f64>().unwrap())/100.0 }
fn main() {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || { tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(); tx.send(l.local_addr().unwrap()).unwrap();
        loop { let (mut s, _) = l.accept().await.unwrap(); tokio::spawn(async move { let mut b=[0u8;8192]; loop { let n = s.read(&mut b).await.unwrap_or(0); if n==0 {return}; let _=s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await; } }); }
    }) });
    let addr = rx.recv().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        let egress: Egress = serde_json::from_value(serde_json::json!({"allow":["127.0.0.0/8"]})).unwrap();
        let client = http::Client::new(egress).unwrap();
        let mut d: signalbox_proto::Delivery = serde_json::from_str(include_str!("../src/webhook/golden/failed.delivery.json")).unwrap();
        d.events[0].event.data = signalbox_proto::RawJson::of(&serde_json::json!({"x": "y".repeat(480)})).unwrap();
        let t = find("webhook").unwrap().open(serde_json::json!({"url": format!("http://{addr}/hook")}), serde_json::json!({"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}), About{integration:"i".into(),name:"n".parse().unwrap(),org:"o".parse().unwrap(),timeout:Duration::from_secs(15)}).unwrap();
        let t: std::sync::Arc<dyn AnyTarget> = t.into(); let d = std::sync::Arc::new(d);
        let b = Instant::now(); for _ in 0..100000 { std::hint::black_box(t.next(&d, &[], signalbox_proto::Timestamp::now())); } println!("build+sign {:?}", b.elapsed()/100000);
        let c0 = cpu(); let b = Instant::now();
        let mut hs = vec![]; for _ in 0..32 { let (client,t,d)=(client.clone(),t.clone(),d.clone()); hs.push(tokio::spawn(async move { for _ in 0..6000 { let Step::Send(Request::Http(r)) = t.next(&d,&[],signalbox_proto::Timestamp::now()) else {panic!()}; let r = client.send(r, Duration::from_secs(15)).await.unwrap(); assert!(matches!(t.next(&d,&[Exchange{response:r}],signalbox_proto::Timestamp::now()), Step::Done(_))); } })); }
        for h in hs { h.await.unwrap(); }
        let n=32.0*6000.0; println!("{:.0}/s wall, client thread cpu {:.2} us/req", n/b.elapsed().as_secs_f64(), (cpu()-c0)/n*1e6);
    });
}
