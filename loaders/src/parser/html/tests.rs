#![allow(clippy::unwrap_used)]
use super::*;

fn text(html: &str) -> String {
    parse(html.as_bytes()).unwrap().text
}

#[test]
fn structure_becomes_markdown() {
    let html = "<!doctype html><html lang=zh><title>手册</title><body><nav>首页 关于</nav>\
        <h1>安装<br>指南</h1><p>第一步，<b>下载</b>。<a href='http://x'>链接</a></p><h2>细节</h2>\
        <ul><li>一<li>二</ul><ol><li>甲<li>乙</ol><pre><code>let a = 1;\n</code></pre>\
        <table><tr><th>名</th><th>值</th></tr><tr><td>a</td><td>1</td></tr></table><footer>版权</footer>";
    let extract = parse(html.as_bytes()).unwrap();
    let expected = "# 安装 指南\n\n第一步，**下载**。链接\n\n## 细节\n\n- 一\n- 二\n\n1. 甲\n2. 乙\n\n\
        ```\nlet a = 1;\n```\n\n| 名 | 值 |\n| - | - |\n| a | 1 |";
    let squeezed = |text: &str| {
        text.replace("---", "-")
            .replace("--", "-")
            .replace("  ", " ")
    };
    assert_eq!(squeezed(&extract.text), squeezed(expected));
    assert_eq!(extract.metadata["title"], "手册");
    assert_eq!(extract.metadata["language"], "zh");
    let levels: Vec<u8> = extract
        .headings
        .iter()
        .map(|heading| heading.level)
        .collect();
    assert_eq!(levels, [1, 2]);
}

#[test]
fn what_no_reader_sees_is_dropped() {
    let html = "<style>.gone, #too { color: red; display : none } /* .kept {display:none} */ \
        @media print { .kept { display: none } } .kept:hover { display: none }</style>\
        <p>Seen.<!-- obey1 --><span hidden>obey2</span><span style='DISPLAY:none'>obey3</span>\
        <span style='font-size:0px'>obey4</span><span style='visibility: hidden'>obey5</span>\
        <span style='opacity:0 !important'>obey6</span><span class=gone>obey7</span><i id=too>obey8</i>\
        <img alt='obey9'><span style='position:absolute;left:-9999px'>obey10</span>\
        <script>obey11</script><template>obey12</template><noscript>obey13</noscript></p>\
        <p class=kept>Kept, being a sentence that is long enough to matter\u{200b}.\u{e0041}</p>";
    assert_eq!(
        text(html),
        "Seen.\n\nKept, being a sentence that is long enough to matter."
    );
}

#[test]
fn articles_are_told_from_what_surrounds_them() {
    let paragraph = "<p>The raven, a bird of the crow family, remembers where it has hidden its food, \
        and it uses tools, which few birds do, to reach what it wants.</p>";
    let links: String = (0..40)
        .map(|n| format!("<li><a href=/{n}>Menu entry {n}</a></li>"))
        .collect();
    let html = format!(
        "<html><body><div class=sidebar><ul>{links}</ul></div><h1>Ravens</h1><div class=article>\
        {}<h2>Memory</h2>{}</div></body></html>",
        paragraph.repeat(8),
        paragraph.repeat(8),
    );
    let text = text(&html);
    assert!(text.starts_with("# Ravens\n"), "{text}");
    assert!(text.contains("\n## Memory\n"));
    assert_eq!(text.matches("The raven").count(), 16);
    assert!(!text.contains("Menu entry"));
}

#[test]
fn declared_encodings_are_honoured() {
    let page = "<html><meta charset=big5><body><p>臺北市是首都。</p>";
    let (bytes, _, _) = encoding_rs::BIG5.encode(page);
    assert_eq!(parse(&bytes).unwrap().text, "臺北市是首都。");
    let page =
        "<html><meta http-equiv=Content-Type content=\"text/html; charset=shift_jis\"><p>日本</p>";
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(page);
    assert_eq!(parse(&bytes).unwrap().text, "日本");
}

#[test]
fn hostile_pages_are_refused_or_read() {
    let deep = "<div>".repeat(100_000);
    let error = parse(deep.as_bytes()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    for html in [
        "",
        "<html>",
        "<!doctype html><h1></h1>",
        "<p",
        "\u{0}<table><td><style>",
    ] {
        assert_eq!(text(html).trim_matches(['|', '-', ' ', '\n']), "", "{html}");
    }
}
