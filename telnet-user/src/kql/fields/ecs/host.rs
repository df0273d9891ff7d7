//! Where something runs.

use super::super::FieldType::{Boolean, Double, Flattened, Ip, Keyword, Long};
use super::super::Set;
use super::endpoint::GEO;
use super::identity::{ENTITY, RISK};

pub(super) static HOST: Set = Set {
    fields: &[
        (Double, "cpu.usage"),
        (Ip, "ip"),
        (
            Keyword,
            "architecture boot.id domain hostname id mac name pid_ns_ino type",
        ),
        (
            Long,
            "disk.read.bytes disk.write.bytes network.egress.bytes network.egress.packets \
             network.ingress.bytes network.ingress.packets uptime",
        ),
    ],
    sets: &[
        ("entity", &ENTITY),
        ("geo", &GEO),
        ("os", &OS),
        ("risk", &RISK),
        ("target", &HOST),
    ],
};

pub(super) static OS: Set = Set {
    fields: &[(Keyword, "family full kernel name platform type version")],
    sets: &[],
};

pub(super) static CONTAINER: Set = Set {
    fields: &[
        (Boolean, "security_context.privileged"),
        (Double, "cpu.usage memory.usage"),
        (
            Keyword,
            "id image.hash.all image.name image.tag name runtime",
        ),
        (
            Long,
            "disk.read.bytes disk.write.bytes network.egress.bytes network.ingress.bytes",
        ),
    ],
    sets: &[],
};

pub(super) static ORCHESTRATOR: Set = Set {
    fields: &[
        (Ip, "resource.ip"),
        (
            Keyword,
            "api_version cluster.id cluster.name cluster.url cluster.version namespace \
             organization resource.annotation resource.id resource.label resource.name \
             resource.parent.type resource.type type",
        ),
    ],
    sets: &[("entity", &ENTITY)],
};

pub(super) static CLOUD: Set = Set {
    fields: &[(
        Keyword,
        "account.id account.name availability_zone instance.id instance.name machine.type \
         project.id project.name provider region service.name",
    )],
    sets: &[("entity", &ENTITY), ("origin", &CLOUD), ("target", &CLOUD)],
};

pub(super) static SERVICE: Set = Set {
    fields: &[(
        Keyword,
        "address environment ephemeral_id id name node.name node.role node.roles state type version",
    )],
    sets: &[
        ("entity", &ENTITY),
        ("origin", &SERVICE),
        ("target", &SERVICE),
    ],
};

pub(super) static DEVICE: Set = Set {
    fields: &[(
        Keyword,
        "id manufacturer model.identifier model.name product.id product.name serial_number type \
         vendor.id vendor.name",
    )],
    sets: &[],
};

pub(super) static VOLUME: Set = Set {
    fields: &[
        (Boolean, "removable writable"),
        (
            Keyword,
            "bus_type default_access device_name device_type dos_name file_system_type mount_name \
             nt_name product_id product_name serial_number vendor_id vendor_name",
        ),
        (Long, "size"),
    ],
    sets: &[],
};

pub(super) static FAAS: Set = Set {
    fields: &[
        (Boolean, "coldstart"),
        (
            Keyword,
            "execution id name trigger.request_id trigger.type version",
        ),
    ],
    sets: &[],
};

pub(super) static GEN_AI: Set = Set {
    fields: &[
        (
            Double,
            "request.frequency_penalty request.presence_penalty request.temperature request.top_k \
             request.top_p",
        ),
        (
            Flattened,
            "input.messages output.messages system_instructions tool.call.arguments \
             tool.call.result tool.definitions",
        ),
        (
            Keyword,
            "agent.description agent.id agent.name operation.name output.type provider.name \
             request.model response.id response.model token.type tool.call.id tool.name tool.type",
        ),
        (
            Long,
            "request.choice.count request.max_tokens request.seed usage.input_tokens \
             usage.output_tokens",
        ),
    ],
    sets: &[],
};
