//! Corbie's own words to models and readers, in the language of the goal.

use crate::text::Language;

/// Words in one language.
pub(super) struct Words {
    language: Language,
    /// What makes a plan.
    pub plan: &'static str,
    /// What makes a plan anew.
    pub revise: &'static str,
    /// What makes a DAG.
    pub dag: &'static str,
    /// What writes the answer.
    pub answer: &'static str,
    /// What judges whether a goal is reached.
    pub reached: &'static str,
    /// What thinks of further tasks.
    pub create: &'static str,
    /// What puts tasks in order.
    pub prioritise: &'static str,
    /// What looks for faults.
    pub critique: &'static str,
    pub goal: &'static str,
    pub kinds: &'static str,
    pub results: &'static str,
    pub failures: &'static str,
    pub remaining: &'static str,
    pub task: &'static str,
    pub tasks: &'static str,
    pub only_this: &'static str,
    pub draft: &'static str,
    pub issues: &'static str,
    pub rewrite: &'static str,
    pub unended: &'static str,
    pub nothing: &'static str,
}

const ENGLISH: Words = Words {
    language: Language::English,
    plan: "Write a plan: the few steps that reach the goal, in order. Each step is one short \
        sentence that can be done by itself. No step is done twice.",
    revise: "A step of a plan failed. Write the steps that are still to be done, in order, in \
        another way than the one that failed. Steps that are done are not repeated. If nothing \
        more can be done, write no steps.",
    dag: "Split the goal into tasks. Each has an id such as t1, a kind from the list, and \
        arguments. To use the result of an earlier task as an argument, write {\"$from\": \"t1\"}. \
        Tasks that need nothing of each other have no order.",
    answer: "Answer the goal from the results only, in a few sentences. Say nothing that the \
        results do not say.",
    reached: "Judge from the results whether the goal is reached. If it is, `answer` says the \
        answer in a few words; if not, it is empty.",
    create: "Name new tasks that are still needed to reach the goal, each in one short sentence. \
        Do not repeat tasks. If no more are needed, name none.",
    prioritise: "Put the numbers of the tasks in the order in which they should be done, the most \
        useful first.",
    critique: "Look for faults in the draft: what is wrong, missing or does not fit the goal. Name \
        each in one short sentence. If there are none, `ok` is true and there are no issues.",
    goal: "Goal: ",
    kinds: "Kinds of tasks:",
    results: "Results so far:",
    failures: "What failed:",
    remaining: "Steps that were planned next:",
    task: "Your task: ",
    tasks: "Tasks:",
    only_this: "Do only this task, then say its result.",
    draft: "Draft:",
    issues: "Its faults:",
    rewrite: "Write it anew without these faults. Write only the new text.",
    unended: "it was not begun",
    nothing: "none",
};

const CHINESE: Words = Words {
    language: Language::Chinese,
    plan: "写一个计划：按顺序列出达到目标的少数几步。每一步是一句可以单独完成的短句，不要重复。",
    revise: "计划中有一步失败了。按顺序写出还要做的步骤，换一种与失败的那步不同的做法。已完成的步骤不要重复。\
        如果再没有办法，就不写步骤。",
    dag: "把目标分成若干任务。每个任务有编号（如 t1）、列表中的一个种类和参数。要用前面任务的结果作参数，\
        写 {\"$from\": \"t1\"}。互不依赖的任务不分先后。",
    answer: "只根据这些结果，用几句话回答目标。结果里没有的不要说。",
    reached: "根据结果判断目标是否已经达到。达到了，answer 用几个字写出答案；没有达到，answer 为空。",
    create: "写出为达到目标还需要的新任务，每个一句短句。不要重复已有的任务。不需要就一个也不写。",
    prioritise: "按应当执行的先后排列任务的编号，最有用的在前。",
    critique: "找出草稿的毛病：错误、遗漏、与目标不符之处。每条一句短句。没有毛病时，ok 为 true，issues 为空。",
    goal: "目标：",
    kinds: "任务种类：",
    results: "已有结果：",
    failures: "失败的：",
    remaining: "原计划接下来的步骤：",
    task: "你的任务：",
    tasks: "任务：",
    only_this: "只做这一个任务，然后说出结果。",
    draft: "草稿：",
    issues: "毛病：",
    rewrite: "重写一遍，改掉这些毛病。只写新的正文。",
    unended: "没有开始",
    nothing: "无",
};

/// Corbie's words in `language`.
pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    }
}

impl Words {
    /// The result of a task, in one line of an answer.
    pub fn result(&self, task: &str, result: &str) -> String {
        match self.language {
            Language::English => format!("{}: {result}", bare(task)),
            Language::Chinese => format!("{}：{result}", bare(task)),
        }
    }

    /// That a task was not done, and why.
    pub fn undone(&self, task: &str, why: &str) -> String {
        match self.language {
            Language::English => format!("Not done: {} ({}).", bare(task), bare(why)),
            Language::Chinese => format!("未完成：{}（{}）。", bare(task), bare(why)),
        }
    }

    /// Why a task was not tried.
    pub fn behind(&self, task: &str) -> String {
        match self.language {
            Language::English => format!("it needs `{task}`, which was not done"),
            Language::Chinese => format!("它需要“{task}”的结果，而那没有完成"),
        }
    }

    /// A heading with lines under it.
    pub fn list(&self, heading: &str, lines: &[String]) -> String {
        match lines.is_empty() {
            true => format!("{heading} {}\n", self.nothing),
            false => format!("{heading}\n- {}\n", lines.join("\n- ")),
        }
    }
}

/// A sentence without its full stop.
fn bare(text: &str) -> &str {
    text.trim().trim_end_matches(['.', '。'])
}
